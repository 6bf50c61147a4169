"""Readers, one file format each: bytes of a stream in, a Volume or an InputError out."""
