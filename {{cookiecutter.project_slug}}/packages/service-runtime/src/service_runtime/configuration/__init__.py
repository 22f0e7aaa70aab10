"""Every environment variable: its description, its value in force and where that comes from.

`manage.py settings` prints the values, without secrets, and writes the tables of the documents.
"""

from .table import GROUPS, VARIABLES
from .variable import EnvironmentSettings, Variable

__all__ = ["GROUPS", "VARIABLES", "EnvironmentSettings", "Variable"]
