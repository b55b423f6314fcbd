"""DICOM as pure functions over bytes and values: nothing here does I/O."""
