"""Other people's training loops: recorded, stopped in time, gone on with; a module for each."""
