"""From other builders to Coopery: command lines, steps and jobs, carried over or said to be left behind."""
