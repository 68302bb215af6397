"""`make chaos`: runs of all engines while a random program of the service is killed every few seconds.

Each trial begins with a run of each engine that nobody disturbs. Then the runs are submitted, one after the other,
while something is killed with `kill -9` and started again as an init system does it: an API, a worker with its engines,
one engine, Redis, the embedded TES, all connections of PostgreSQL, or everything at once. In the end every run must be
COMPLETE with the same outputs as the undisturbed one, each of its steps must have been executed once, and no process,
lock or temporary file may be left. Exits with 1 where anything is wrong, and keeps the data folder then.
"""

import argparse
import secrets
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from tests.acceptance.conftest import open_folder
from tests.chaos.sites import site
from tests.chaos.trial import Plan, Trial
from tests.chaos.verdict import Verdict, judge, left_behind, tes_records, unfinished
from tests.chaos.workflows import WORKFLOWS
from tests.engine_fixtures import install_for_tests
from tests.postgres_fixture import Postgres, real_postgres

DATABASES = ("sqlite", "postgresql")


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seed", type=int, help="of what is killed when (default: another one each time)")
    parser.add_argument("--runs", type=int, default=50, help="how many are submitted (%(default)s)")
    parser.add_argument("--seconds", type=float, default=300, help="for how long programs are killed (%(default)g)")
    parser.add_argument("--every", type=float, default=5, help="seconds between two kills, on average (%(default)g)")
    parser.add_argument("--database", choices=DATABASES, help="one of them (default: one after the other)")
    parser.add_argument("--engines", default=",".join(WORKFLOWS), help="names with commas (%(default)s)")
    given = parser.parse_args(argv)
    engines = given.engines.split(",")
    if unknown := set(engines) - set(WORKFLOWS):
        parser.error(f"there is no engine {', '.join(sorted(unknown))}; there is {', '.join(WORKFLOWS)}")
    for engine in engines:
        install_for_tests(engine)
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    plan = Plan(seed=seed, runs=given.runs, seconds=given.seconds, every=given.every, engines=engines)
    failed = False
    with ExitStack() as stack:
        for database in [given.database] if given.database else DATABASES:
            postgres = stack.enter_context(real_postgres()) if database == "postgresql" else None
            print(f"{database}, seed {plan.seed}: {plan.runs} runs, kills for {plan.seconds:g} s", flush=True)
            verdict = try_out(plan, postgres)
            print(verdict.table(), flush=True)
            failed = failed or bool(verdict.problems)
    return 1 if failed else 0


def try_out(plan: Plan, postgres: Postgres | None) -> Verdict:
    """One trial, on SQLite where no server is given."""
    data = open_folder() / "data"
    data.mkdir(mode=0o755)
    with site(data, postgres) as made:
        made.start()
        trial = Trial(plan=plan, site=made)
        trial.undisturbed()
        trial.disturb()
        open_work = list(unfinished(made))
        made.stop()
    verdict = judge(trial, tes_records(data), [*open_work, *left_behind(data)])
    if verdict.problems:
        print(f"seed {plan.seed} failed; logs and data are in {data}")
    else:
        shutil.rmtree(data.parent)
    return verdict


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
