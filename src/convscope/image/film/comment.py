"""A recipe as the comment that containers of films have room for."""

from convscope.errors import RecipeError
from convscope.image.recipe import Recipe

# So that the comments of other programs are not taken for damaged recipes.
_MARK = "convscope "


def as_comment(recipe: Recipe) -> str:
    """`recipe` as one line of ASCII."""
    return _MARK + recipe.to_json()


def from_comment(comment: str) -> Recipe:
    """The recipe in a comment that `as_comment` made. Raises RecipeError if there is none in it, or it is damaged.

    >>> from_comment("made with love")
    Traceback (most recent call last):
    convscope.errors.RecipeError: it holds no recipe
    """
    if not comment.startswith(_MARK):
        raise RecipeError("it holds no recipe")
    return Recipe.from_json(comment.removeprefix(_MARK))
