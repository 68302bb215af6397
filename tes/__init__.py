"""TES 1.1 as types: tasks, their views, and how a TES server is reached."""
