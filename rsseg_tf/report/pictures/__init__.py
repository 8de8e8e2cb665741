"""Pictures of a report: charts, heat maps, images with classes over them."""
