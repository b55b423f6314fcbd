"""De-identification (PS3.15 Annex E): profiles as data, a Data Set in, one without identity and its evidence out."""
