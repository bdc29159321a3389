"""Steps up the loss within a ball, which BIM and PGD share."""

from torch import Tensor

from convscope.fooling.attack import Chunk, Perturb
from convscope.fooling.ball import Ball


def stepping(ball: Ball, alpha: float, steps: int, *, anywhere: bool) -> Perturb:
    """So many steps of length `alpha` from the image itself, or from anywhere in the ball around it."""

    def perturb(chunk: Chunk) -> Tensor:
        images = ball.anywhere(chunk.starts, chunk.draws) if anywhere else chunk.starts
        for _ in range(steps):
            _, gradient = chunk.gradient(images)
            images = ball.projected(images + alpha * ball.steepest(gradient), chunk.starts)
            chunk.steps.done(preview=images)
        return images

    return perturb
