# SPDX-License-Identifier: Apache-2.0
# Passed by `./so101 build` for so101_msgs (CMAKE_PROJECT_so101_msgs_INCLUDE): generate what Python nodes use, and not the
# C++ headers and type supports, which only C++ nodes need. Halves the time of the first build. A plain `colcon build`
# does not see this file.
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
list(FILTER AMENT_EXTENSIONS_rosidl_generate_idl_interfaces EXCLUDE REGEX "_cpp:")

# Compile each library's sources as one: half of the remaining time went into reading the same headers for every message.
# The descriptions stay apart: each defines the same static names.
function(so101_compile_as_one)
  foreach(library generator_c generator_py typesupport_c typesupport_fastrtps_c typesupport_introspection_c)
    set(target so101_msgs__rosidl_${library})
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)
    get_target_property(sources ${target} SOURCES)
    list(FILTER sources INCLUDE REGEX "__description\\.c$")
    set_source_files_properties(${sources} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  endforeach()
endfunction()
cmake_language(DEFER CALL so101_compile_as_one)
