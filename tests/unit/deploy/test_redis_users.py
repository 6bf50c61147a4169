"""Every key of the sources is somebody's in Redis's ACL; a file of passwords is its service's alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

from deploy.redis.users import ANSWERS, LINE, SECRETS, USERS, WATCHED, acl_file
from jobstore import keys

ROOT = Path(__file__).resolve().parents[3]
HEAD = re.compile(r"""_key\("([a-z_]+)""")
RARE = {"asked", "canary", "failures", "resting", "retention", "orphan_rounds", "orphaned_uploads"}


def heads() -> set[str]:
    """The first part of every key's name."""
    return set(HEAD.findall(Path(keys.__file__).read_text()))


def test_every_key_belongs_to_somebody() -> None:
    assert heads() - {*LINE, *ANSWERS, *SECRETS, *RARE} == set(), "name the new key in deploy/redis/users.py"


def test_no_name_is_left_over() -> None:
    assert {*LINE, *ANSWERS, *SECRETS, *RARE, *WATCHED} - heads() == set()


def test_workers_are_kept_from_the_keys_of_sites() -> None:
    for user in USERS:
        reaches = {
            key for key in user.keys if any(key.startswith(f"{keys.PREFIX}:{head}:") for head in SECRETS)
        }
        assert bool(reaches) == (user.name in {"gateway", "operator"})


def test_files_hold_hashes_and_are_not_overwritten(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.redis", str(tmp_path / "secrets")]
    subprocess.run(command, check=True, cwd=ROOT)
    (gateway,) = (tmp_path / "secrets").glob("gateway.env")
    password = re.search(r"gateway:([^@]+)@redis:6379", gateway.read_text())
    assert password
    assert password[1] not in (tmp_path / "secrets" / "users.acl").read_text()
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "secrets").iterdir()} == {0o600}
    again = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode
    assert "FileExistsError" in again.stderr


def test_compose_gives_each_service_its_own_user() -> None:
    base, over = (
        yaml.safe_load((ROOT / file).read_text())["services"]
        for file in ("docker-compose.yml", "deploy/compose/redis-users.yml")
    )
    speaks = {
        name for name, about in base.items() if "HIPPOCAMP_REDIS_URL" in (about.get("environment") or {})
    }
    assert set(over) == speaks | {"redis", "cache"}
    for name in speaks:
        user = "maintain" if name == "beat" else name
        assert over[name]["environment"]["HIPPOCAMP_REDIS_URL"] == f"${{{user.upper()}_REDIS_URL}}"
        assert user in {one.name for one in USERS}


def test_one_line_a_user() -> None:
    lines = acl_file(dict.fromkeys((user.name for user in USERS), "x")).splitlines()
    assert [line.split()[1] for line in lines] == ["default", *(user.name for user in USERS)]
