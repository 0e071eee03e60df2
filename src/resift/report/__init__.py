"""Pages in HTML that people look at: their one style, their elements, plots, and the moves of a ranking."""
