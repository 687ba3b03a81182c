"""The history in trainer_state.json. The newest one tells of all checkpoints before it, so one download does."""

from __future__ import annotations

from truss_train_core.api.flows import Flow
from truss_train_core.checkpoints.listing import Survey, read_state, step_of


def training_history(survey: Survey) -> Flow[dict[str, dict[str, float]]]:
    """What was measured at the very steps at which checkpoints were saved."""
    steps = {checkpoint.checkpoint_id: step_of(checkpoint.checkpoint_id) for checkpoint in survey.checkpoints}
    known: dict[str, dict[str, float]] = {}
    newest_first = sorted(
        survey.checkpoints, key=lambda each: (steps[each.checkpoint_id] or -1, each.created_at), reverse=True
    )
    told = False
    for checkpoint in newest_first:
        name = checkpoint.checkpoint_id
        if told and steps[name] is not None:
            continue
        state = yield from read_state(survey, checkpoint)
        if state and steps[name] is None:  # "final", "best": only its own state says of which step it is
            known[name] = state.at(state.global_step)
        elif state:
            told = True
            known |= {each: state.at(step) for each, step in steps.items() if step is not None}
    return known
