"""Rules on bars: what no row breaks by itself and a history does, such as a split that nobody took out.

A finding trains nothing and stops nothing: it says what was seen, where, and which windows read it.
"""
