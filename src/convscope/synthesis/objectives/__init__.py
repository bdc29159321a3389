"""What is to become large."""

from convscope.synthesis.objectives.direction import direction as direction
from convscope.synthesis.objectives.diversity import diversity as diversity
from convscope.synthesis.objectives.energy import energy as energy
from convscope.synthesis.objectives.gram import gram as gram
from convscope.synthesis.objectives.gram import gram_match as gram_match
from convscope.synthesis.objectives.match import match as match
from convscope.synthesis.objectives.match import relative_error as relative_error
from convscope.synthesis.objectives.objective import Objective as Objective
from convscope.synthesis.objectives.objective import Seen as Seen
from convscope.synthesis.objectives.objective import asked as asked
from convscope.synthesis.objectives.objective import each as each
from convscope.synthesis.objectives.objective import measured as measured
