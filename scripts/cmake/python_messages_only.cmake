# Passed by `./so101 build` for so101_msgs (CMAKE_PROJECT_so101_msgs_INCLUDE): generate what Python nodes use, and not the
# C++ headers and type supports, which only C++ nodes need. Halves the time of the first build. A plain `colcon build`
# does not see this file.
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
list(FILTER AMENT_EXTENSIONS_rosidl_generate_idl_interfaces EXCLUDE REGEX "_cpp:")
