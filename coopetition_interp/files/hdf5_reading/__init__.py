"""The program that reads strangers' HDF5 feature files, in a process of its own.

The HDF5 library follows links out of a file, decodes compressed data to a thousand times its size,
and may loop or crash on damaged bytes. So it is asked about a dataset before it may read one
(`header`), and runs where the operating system bounds its memory and time, and where its end harms
nobody (`program`). It imports no other room, and not torch, which would take longer than most
files.
"""
