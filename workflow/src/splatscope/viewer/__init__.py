"""`splatscope view`: results in a browser, poses tried by hand, and the recipe of `compose` set by what one sees."""
