"""Whether an answer is meant for this session, and whether it is news. Its content is `admission`'s business."""

from dataclasses import dataclass

from so101_action_queue.asking import Asked, Questions
from so101_action_queue.decisions import Verdict
from so101_action_queue.inputs import Answer


@dataclass(frozen=True, slots=True)
class Party:
    """Who may answer: the running session, the spec in force and the bound server; 0 = none."""

    session: int
    spec_id: int
    server_id: int


@dataclass(frozen=True, slots=True)
class Unwanted:
    """Why an answer is not looked into."""

    verdict: Verdict
    reason: str


def identify(answer: Answer, party: Party, questions: Questions) -> Asked | Unwanted:
    """Return the question that the answer belongs to.

    Any question asked in this session will do that is neither answered nor older than the last accepted one, whatever
    was asked since: a timeout that is too short must not turn good answers away.
    """
    foreign = _why_foreign(answer, party, questions)
    if foreign:
        return Unwanted(Verdict.REJECTED_FOREIGN, foreign)
    if questions.is_answered(answer.request_id):
        return Unwanted(Verdict.DUPLICATE, "")
    asked = questions.find(answer.request_id)
    if asked is None:
        newest = questions.last_accepted_id
        return Unwanted(Verdict.STALE, f"answers question {answer.request_id}; {newest} is in the queue already")
    if answer.step != asked.step:
        return Unwanted(Verdict.REJECTED_FOREIGN, f"echoes step {answer.step}, asked at step {asked.step}")
    return asked


def _why_foreign(answer: Answer, party: Party, questions: Questions) -> str:
    if not party.session:
        return "no session has begun"
    if answer.session != party.session:
        return f"of another session ({answer.session})"
    if answer.server_id != party.server_id:
        return f"from server {answer.server_name or '?'} ({answer.server_id}), which is not the bound one"
    if answer.spec_id != party.spec_id:
        return f"made for another policy_spec ({answer.spec_id})"
    if not 1 <= answer.request_id <= questions.last_id:
        return f"answers question {answer.request_id}, which was never asked"
    return ""
