"""One module per kind of figure: a pure function prepares the data, another draws it, a third says what to see."""
