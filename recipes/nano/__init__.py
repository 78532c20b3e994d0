"""How the embedded model `nano` and the built-in prompt set are made. `python recipes/nano/build.py --help`."""
