# SPDX-License-Identifier: Apache-2.0
import pytest
from so101_link.keys.expiry import Validity, expiry
from so101_node.diagnostics.causes import Level

DAY_S = 86400.0
BEGIN_S, END_S = 1000 * DAY_S, 2000 * DAY_S


@pytest.mark.parametrize(
    ("now_s", "validity", "level"),
    [
        (BEGIN_S - 1, Validity.NOT_YET_VALID, Level.ERROR),
        (BEGIN_S, Validity.VALID, Level.OK),
        (END_S - 30 * DAY_S, Validity.VALID, Level.OK),
        (END_S - 30 * DAY_S + 1, Validity.EXPIRES_SOON, Level.WARN),
        (END_S - 1, Validity.EXPIRES_SOON, Level.WARN),
        (END_S, Validity.EXPIRED, Level.ERROR),
    ],
)
def test_a_warning_begins_thirty_days_before_the_end(now_s: float, validity: Validity, level: Level) -> None:
    state = expiry("arm1", BEGIN_S, END_S, now_s)
    assert (state.validity, state.validity.level) == (validity, level)
    assert state.validity.usable == (level != Level.ERROR)
    assert bool(state.remedy) == (level != Level.OK)


def test_the_texts_hold_the_dates_and_what_to_type() -> None:
    soon = expiry("arm1", BEGIN_S, END_S, END_S - 3.5 * DAY_S)
    assert soon.text == "the certificate of arm1 expires on 1975-06-24, in 3 days"
    assert "./so101 link keys DIR --renew arm1" in soon.remedy
    early = expiry("server", BEGIN_S, END_S, 0.0)
    assert (
        early.text == "the certificate of server is valid from 1972-09-27 on, but this computer's clock says 1970-01-01"
    )
