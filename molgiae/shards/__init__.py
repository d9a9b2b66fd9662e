"""Large runs as many small ones: a directory of parts, each made by itself, in any order, by whatever runs programs.

`plan` says what each part is made from, `part` makes one, `engines` run them, and `drive` is the command.
"""
