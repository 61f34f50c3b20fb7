"""Properties of alloys from an interatomic potential or DFT calculator."""
