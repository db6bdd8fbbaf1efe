import os
import time

import pytest

from splatscope.errors import InputError
from splatscope.file_times import refuse_future


def test_a_file_of_tomorrow_is_refused(tmp_path):
    file = tmp_path / "video.mp4"
    file.touch()
    refuse_future([file, tmp_path / "not_there"])
    os.utime(file, (time.time() + 86_400,) * 2)
    with pytest.raises(InputError, match=r"video\.mp4"):
        refuse_future([tmp_path, file])
