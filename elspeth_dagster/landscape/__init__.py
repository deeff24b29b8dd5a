"""The landscape: the record of runs, in a catalogue and in segments."""
