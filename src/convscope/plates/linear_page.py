"""The linear explanation as a page: ten numbers, more of them, and a table that is no image."""

from convscope.errors import MissingExtra
from convscope.fooling.linear_example import LinearExample
from convscope.fooling.linear_table import linear_table
from convscope.render.page import Page, figure, paragraph, table


def linear_page(example: LinearExample) -> Page:
    """The example's figures, the step needed as the dimension grows, and a classifier of a table."""
    page = Page("Why little is enough", lead="; ".join(example.lines))
    page.section(
        "Ten numbers" if len(example.input) == 10 else f"{len(example.input)} numbers",
        paragraph(
            "A linear classifier takes the side w · x. Each number takes a step against its weight's sign, and all "
            "steps add up: step · Σ|w|."
        ),
        figure(example.picture(), recipe=example.recipe, alt="; ".join(example.lines)),
    )
    needed = example.needed()
    page.section(
        "More numbers",
        paragraph(
            "The step that lifts the score as far falls as 1 / Σ|w|. If the weights are as large as here, with the "
            "number of numbers; if they are no longer as a whole, with its root. A grey level is 1/255."
        ),
        table(
            ["numbers", "step, each weight as large", "in grey levels", "step, |w| as long", "in grey levels "],
            [(each.dimensions, each.step, 255 * each.step, each.fixed_norm, 255 * each.fixed_norm) for each in needed],
        ),
    )
    try:
        other = linear_table()
    except MissingExtra as error:
        return page.section("Not about images", paragraph(str(error)))
    return page.section("Not about images", paragraph(other.caption), figure(other.picture(), recipe=other.recipe))
