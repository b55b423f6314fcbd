"""DICOMweb (PS3.18) for every store."""
