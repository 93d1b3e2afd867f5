# SPDX-License-Identifier: Apache-2.0
import mujoco
import numpy as np
import pytest
from so101_node.protocol import GRIPPER, JOINT_NAMES
from so101_sim.core import servo_registers as reg
from so101_sim.core.joints import HOME, JointRanges
from so101_sim.core.servo_packets import Instruction, Request
from so101_sim.core.virtual_bus import execute
from so101_sim.world import scene
from so101_sim.world.plant import ArmPlant

SHOULDER_LIFT, ELBOW_FLEX = JOINT_NAMES.index("shoulder_lift"), JOINT_NAMES.index("elbow_flex")


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return scene.build_model()


@pytest.fixture
def plant(model: mujoco.MjModel) -> ArmPlant:
    plant = ArmPlant(model, scene.new_data(model), scene.before_step)
    plant.enable_torque()
    return plant


def run(plant: ArmPlant, seconds: float) -> None:
    plant.step(round(seconds * 1e9 / plant.step_ns))


def angles(plant: ArmPlant) -> np.ndarray:
    return plant.data.qpos[:6].copy()


def raw_goal(plant: ArmPlant, joint: int, angle: float) -> int:
    """The goal of a driver that wants the MuJoCo angle."""
    calibration = plant.calibration[JOINT_NAMES[joint]]
    driver_rad = angle - JointRanges.of(plant.model).middle[joint]
    return round(driver_rad * 4095 / (2 * np.pi) + (calibration.range_min + calibration.range_max) / 2)


def drive(plant: ArmPlant, joint: int, angle: float) -> None:
    plant.servos[joint].write_word(reg.GOAL_POSITION, raw_goal(plant, joint, angle))


def test_the_arm_holds_its_home_pose_from_the_first_step(plant: ArmPlant) -> None:
    for _ in range(20):
        run(plant, 0.05)
        np.testing.assert_allclose(angles(plant), HOME, atol=0.005)


def test_without_torque_a_raised_arm_falls(plant: ArmPlant) -> None:
    for servo in plant.servos:
        servo.write(reg.TORQUE_ENABLE, b"\x00")
    run(plant, 1.0)
    assert np.abs(angles(plant) - HOME).max() > 0.2


@pytest.mark.parametrize("joint", range(6))
def test_each_joint_goes_where_its_servo_is_sent_and_reads_it_back(plant: ArmPlant, joint: int) -> None:
    target = HOME[joint] + (-0.4 if joint == ELBOW_FLEX else 0.4)  # up, away from the table
    drive(plant, joint, target)
    run(plant, 1.5)
    assert angles(plant)[joint] == pytest.approx(target, abs=0.01)
    assert reg.word(plant.servos[joint].registers, reg.PRESENT_POSITION) == pytest.approx(
        raw_goal(plant, joint, target), abs=7
    )
    assert plant.servos[joint].status == 0


def test_a_lower_acceleration_makes_it_slower(model: mujoco.MjModel) -> None:
    moved = []
    for acceleration in (254, 5):
        plant = ArmPlant(model, scene.new_data(model), scene.before_step)
        plant.enable_torque()
        plant.servos[0].write(reg.ACCELERATION, bytes((acceleration,)))
        drive(plant, 0, 0.8)
        run(plant, 0.3)
        moved.append(angles(plant)[0])
    assert moved[1] < moved[0] / 3
    assert moved[1] == pytest.approx(0.5 * 500 * 0.3**2 * 2 * np.pi / 4096, rel=0.3)  # a t^2 / 2


def test_the_goal_velocity_is_kept(plant: ArmPlant) -> None:
    plant.servos[0].write_word(reg.GOAL_VELOCITY, 500)
    drive(plant, 0, 1.5)
    run(plant, 0.5)
    velocity = reg.decode_signed(reg.word(plant.servos[0].registers, reg.PRESENT_VELOCITY), 15)
    assert velocity == pytest.approx(500, rel=0.05)


def test_a_joint_stops_at_its_position_limit(plant: ArmPlant) -> None:
    calibration = plant.calibration["shoulder_pan"]
    plant.servos[0].write_word(reg.MAX_POSITION_LIMIT, calibration.range_max - 500)
    drive(plant, 0, 1.8)
    run(plant, 2.0)
    position = reg.word(plant.servos[0].registers, reg.PRESENT_POSITION)
    assert position == pytest.approx(calibration.range_max - 500, abs=4)


def test_a_wrong_homing_offset_puts_the_arm_elsewhere_as_it_would_a_real_one(plant: ArmPlant) -> None:
    servo = plant.servos[0]
    servo.write(reg.TORQUE_ENABLE, b"\x00")
    servo.write_word(reg.HOMING_OFFSET, reg.encode_signed(servo.homing_offset + 200, 11))
    servo.write_word(reg.GOAL_POSITION, 2048)
    servo.write(reg.TORQUE_ENABLE, b"\x01")
    run(plant, 1.5)
    assert angles(plant)[0] == pytest.approx(200 * 2 * np.pi / 4096, abs=0.01)


def test_with_too_little_torque_a_joint_cannot_lift_what_it_can_with_enough(plant: ArmPlant) -> None:
    plant.servos[ELBOW_FLEX].write_word(reg.TORQUE_LIMIT, 30)
    drive(plant, ELBOW_FLEX, 0.3)
    run(plant, 2.0)
    assert angles(plant)[ELBOW_FLEX] > HOME[ELBOW_FLEX] - 0.3
    plant.servos[ELBOW_FLEX].write_word(reg.TORQUE_LIMIT, 1000)
    run(plant, 2.0)
    assert angles(plant)[ELBOW_FLEX] == pytest.approx(0.3, abs=0.02)


def test_a_blocked_joint_stays_loads_its_servo_and_trips_its_protection_until_freed(plant: ArmPlant) -> None:
    plant.block(1, True)
    drive(plant, 0, 0.8)
    run(plant, 1.0)
    assert angles(plant)[0] == pytest.approx(0.0, abs=0.02)
    assert reg.decode_signed(reg.word(plant.servos[0].registers, reg.PRESENT_LOAD), 10) > 900
    assert plant.servos[0].status == 0
    run(plant, 2.0)
    assert plant.servos[0].status == reg.STATUS_OVERLOAD
    load = reg.decode_signed(reg.word(plant.servos[0].registers, reg.PRESENT_LOAD), 10)
    assert load == pytest.approx(200, abs=5)
    plant.block(1, False)
    run(plant, 2.0)
    assert angles(plant)[0] == pytest.approx(0.8, abs=0.1)


def test_an_unplugged_servo_is_limp_and_comes_back_limp(plant: ArmPlant) -> None:
    servo = plant.servos[ELBOW_FLEX]
    servo.cut_power()
    run(plant, 1.0)
    fallen = angles(plant) - HOME
    assert abs(fallen[ELBOW_FLEX]) > 0.1
    assert abs(fallen[SHOULDER_LIFT]) < 0.05
    servo.restore_power()
    assert not servo.torque_on
    assert servo.goal == round(servo.position)


def test_closing_on_the_cube_trips_the_gripper_s_protection_and_still_holds(plant: ArmPlant) -> None:
    """LeRobot's 25 % overload threshold is below the 50 % torque limit: every grip of 2 s ends at 20 % torque."""
    plant.block(6, True)
    drive(plant, GRIPPER, -0.05)
    run(plant, 3.0)
    assert plant.servos[GRIPPER].status == reg.STATUS_OVERLOAD
    plant.block(6, False)
    drive(plant, GRIPPER, 1.0)
    run(plant, 1.0)
    assert plant.servos[GRIPPER].status == 0
    assert angles(plant)[GRIPPER] == pytest.approx(1.0, abs=0.02)


def test_the_same_commands_give_the_same_bits(model: mujoco.MjModel) -> None:
    runs = []
    for _ in range(2):
        plant = ArmPlant(model, scene.new_data(model), scene.before_step)
        plant.enable_torque()
        scene.place_objects(plant.model, plant.data, "static", 5)
        for k in range(30):
            drive(plant, k % 6, HOME[k % 6] + 0.1 * np.sin(k))
            plant.step(16)
        runs.append(plant.data.qpos.tobytes() + plant.data.qvel.tobytes() + bytes(plant.servos[2].registers))
    assert runs[0] == runs[1]


def test_the_model_handed_in_is_not_changed(model: mujoco.MjModel, plant: ArmPlant) -> None:
    before = model.actuator_forcerange.copy()
    plant.servos[0].write_word(reg.TORQUE_LIMIT, 10)
    run(plant, 0.1)
    np.testing.assert_array_equal(model.actuator_forcerange, before)


def test_the_hook_is_called_before_every_step(model: mujoco.MjModel) -> None:
    times = []
    plant = ArmPlant(model, scene.new_data(model), lambda _, data: times.append(data.time))
    plant.step(3)
    assert times == pytest.approx([0.0, 0.002, 0.004])
    assert plant.time_ns == 6_000_000


def test_a_model_whose_arm_does_not_come_first_is_refused() -> None:
    other = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><joint name='elbow'/><geom size='1'/></body></worldbody></mujoco>"
    )
    with pytest.raises((KeyError, ValueError), match="shoulder_pan"):
        ArmPlant(other, mujoco.MjData(other), scene.before_step)


def test_a_read_over_the_bus_sees_the_joint(plant: ArmPlant) -> None:
    drive(plant, 0, 0.5)
    run(plant, 1.5)
    request = Request(1, Instruction.READ, bytes((reg.PRESENT_POSITION, 2)), 8)
    (answer,) = execute(request, plant.servos)
    assert int.from_bytes(answer[5:7], "little") == pytest.approx(raw_goal(plant, 0, 0.5), abs=7)
