"""Files of images on their way to class maps: names, records, and what happens to one."""
