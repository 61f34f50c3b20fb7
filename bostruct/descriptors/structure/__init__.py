"""Features of whole structures.

Coordinates of a space, or structures, enter; one row of features for each structure leaves, scaled
so that the median distance between random members is one.
"""
