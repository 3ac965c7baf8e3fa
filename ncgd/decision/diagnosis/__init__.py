"""What is wrong between here and there: the path walked in order, to the first thing that is."""
