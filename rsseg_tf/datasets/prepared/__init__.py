"""Pairs decoded and resized once and kept on the disk, where `data.cache_dir` names a folder."""
