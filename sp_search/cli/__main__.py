"""`python -m sp_search.cli` is `sp-search`."""

import sys

from sp_search.cli.main import main

sys.exit(main())
