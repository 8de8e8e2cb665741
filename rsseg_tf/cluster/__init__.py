"""Work on images that is dealt to processes and machines, by Dask."""
