//! Provenance: see the tests of the whole program for files.
