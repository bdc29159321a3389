"""Films: videos, animations and folders of pictures, read and written frame by frame."""

from convscope.image.film.film import Film
from convscope.image.film.read import open_film
from convscope.image.film.recipe import read_film_recipe
from convscope.image.film.write import film_writer, write_film

__all__ = ["Film", "film_writer", "open_film", "read_film_recipe", "write_film"]
