"""One deliverer per home: a process that carries the journals of many runs to their back ends.

`place` is where runs and deliverer find each other, `keeper` the run's side, `deliverer` the other one.
"""
