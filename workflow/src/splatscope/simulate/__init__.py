"""The stage that simulates operations: seeded anatomy, tissue physics, surgeons, annotated frames."""
