"""Gates: what a deployment has to pass before it answers, and to go on passing while it is on probation.

A gate is a flow from the deployment, and the one that answers now, to a verdict: whether it passes, and why, in words
with numbers. To add one, write a file here with a function that makes such a flow, and name it below.

For example, promote only what does better on the same held-out data, by a margin:

    held_out = gates.labelled(Path("held_out.json"), label="digit")
    wanted = [gates.metric("eval_loss", at_most=0.4), gates.better(held_out, mode="max", margin=0.01)]
    outcome = client.run(deployments.promote_or_keep(deployment, gates=wanted))
    print(outcome.reason)
"""

from truss_train_core.gates.answering import answers
from truss_train_core.gates.function import judged_by
from truss_train_core.gates.held_out import HeldOut, better, labelled, score
from truss_train_core.gates.metric import metric

__all__ = ["HeldOut", "answers", "better", "judged_by", "labelled", "metric", "score"]
