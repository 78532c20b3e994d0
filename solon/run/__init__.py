"""The main job: one configuration, the whole pipeline from constitution to report."""
