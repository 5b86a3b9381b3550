"""From exported files to hardware; here: the NumPy reference that every engine must equal."""
