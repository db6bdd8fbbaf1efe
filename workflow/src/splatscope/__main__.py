import sys

from splatscope.cli import main

sys.exit(main())
