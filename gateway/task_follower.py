"""One task on its way: handed to a TES, followed until it is terminal, its last view kept."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from common.errors import ObjectStoreFailure, StaleClaim
from common.step_resources import StepLimit
from gateway.followed_task import FollowedTask, PollingPolicy
from gateway.live_log import drop_streams
from gateway.task_documents import (
    FailureCause,
    earlier_logs,
    failure_cause,
    lost_logs,
    newest_logs,
    next_state,
    state_of,
    with_earlier,
    without_early_exit_codes,
)
from gateway.task_poller import TaskPoller
from gateway.task_record import TaskRecord, tes_label
from gateway.task_reuse import TaskReuse
from gateway.task_submission import TaskSubmission
from gateway.task_transfer import TaskTransfer
from gateway.tes_client import TesClient, TesForgot, TesRefused, TesUnreachable
from tes.task import TASK_TERMINAL, Task, TaskState, TesTask, View

log = structlog.get_logger(__name__)

CLOSING_SECONDS = 0.5
"""Between two looks at the time, while a task is to end; as long as `LONGEST_PAUSE` where its TES does not answer."""
LONGEST_PAUSE = 5.0


@dataclass(frozen=True, kw_only=True)
class TaskFollower:
    """Follows the tasks of one run; every change is in the store before anybody is told, or a TES is.

    Methods raise `StaleClaim` where the run is another worker's by now: then neither store nor TES are touched.
    """

    submission: TaskSubmission
    record: TaskRecord
    transfer: TaskTransfer
    reuse: TaskReuse
    polling: PollingPolicy
    poller: Callable[[TesClient], TaskPoller]
    note: Callable[[str], None]
    time_limit: StepLimit | None = None
    """For which a task may run, in seconds."""

    async def follow(self, followed: FollowedTask) -> None:
        """Hands the task over where that has not happened yet, then looks at it until it is terminal; a new one whose
        work was done before is not handed over."""
        try:
            if followed.is_new:
                await self._reuse(followed)
            while not followed.task.terminal:
                if followed.client is None:
                    await self.submission.submit(followed)
                else:
                    await self._follow_on(followed, followed.client)
        except StaleClaim:
            raise
        except Exception as error:
            log.exception("a task is lost", action="task_lost", run_id=followed.task.run_id, task_id=followed.task.id)
            await self.record.give_up(followed, f"the gateway failed on this task: {error}")
        finally:
            self.submission.limits.leave(followed)

    async def _reuse(self, followed: FollowedTask) -> None:
        followed.task = await self.reuse.with_key(followed)
        reused = await self.reuse.reused(followed)
        if reused is not None and not followed.cancel_requested:
            await self.record.move(followed, reused)

    async def _follow_on(self, followed: FollowedTask, client: TesClient) -> None:
        """Acts on what the looks at this TES bring, until the task is terminal or is not there any more."""
        self.submission.limits.enter(followed, self.submission.owner, is_out=True)
        poller = self.poller(client)
        with poller.watching(followed):
            while not followed.task.terminal and followed.client is client:
                followed.limit_time(self.time_limit)
                to_log = poller.seconds_to_live_log(followed)
                left = followed.seconds_left(self.time_limit)
                woken = await followed.wait(_seconds_to_next_look(followed, to_log, left))
                followed.limit_time(self.time_limit)
                is_live = to_log is not None and not woken
                try:
                    await self.record.record_cancel(followed)
                    await self._send_cancel(followed, client)
                    await self._act(followed, client, is_live=is_live)
                except TesForgot as error:
                    await self._reported_missing(followed, client, error)
                except (TesUnreachable, ObjectStoreFailure) as error:
                    followed.missing = None
                    await self._unanswered(followed, client, error)
                finally:
                    followed.reported = None

    async def _act(self, followed: FollowedTask, client: TesClient, *, is_live: bool) -> None:
        reported = followed.reported
        if isinstance(reported, Exception):
            raise reported
        if reported is not None or is_live:
            await self._refresh(followed, client, reported, is_live=is_live)
            followed.answered, followed.missing, followed.is_unanswered = time.monotonic(), None, False
            self.record.outages.end(tes_label(client))
        closing, most = followed.closing, self.polling.patience + self.polling.closing
        if closing is not None and time.monotonic() - closing > most and not followed.task.terminal:
            reason = f"the TES {client.url} did not end it within {most:g} s after it was cancelled"
            await self.record.give_up(followed, reason)

    async def _unanswered(
        self, followed: FollowedTask, client: TesClient, error: TesUnreachable | TesForgot | ObjectStoreFailure
    ) -> None:
        followed.is_unanswered = True
        problem, patience = self.record.no_answer(client, error), self.polling.patience_when(followed.closing)
        if followed.seconds_unanswered() <= patience:
            return
        if isinstance(error, ObjectStoreFailure):
            reason = f"what the task left could not be fetched for {patience:g} s: {problem}"
            await self.record.give_up(followed, reason)
        else:
            await self._lost_with(followed, client, f"could not be asked for {patience:g} s", problem)

    async def _lost_with(self, followed: FollowedTask, client: TesClient, since: str, problem: str) -> None:
        """The TES is away for good, as far as its tasks are concerned: another one gets them where that is safe."""
        reason, elsewhere = f"the TES {client.url} {since}: {problem}", {client.name: f"{client.name} {since}"}
        if self._may_go_elsewhere(followed, client, elsewhere):
            followed.excluded |= elsewhere
            await self._send_again(followed, newest_logs(followed.task.document), TaskState.SYSTEM_ERROR, reason)
        else:
            await self.record.give_up(followed, reason)

    def _may_go_elsewhere(self, followed: FollowedTask, client: TesClient, elsewhere: Mapping[str, str]) -> bool:
        """Only where the task that is lost, which may go on, can't spoil what the next one makes."""
        if followed.cancel_requested or followed.task.submission >= self.polling.submissions:
            return False
        is_safe = self.transfer.keeps_submissions_apart(followed.task, client)
        return is_safe and self.submission.can_go_elsewhere(followed, elsewhere)

    async def _reported_missing(self, followed: FollowedTask, client: TesClient, error: TesForgot) -> None:
        """A TES that is being replaced, or what stands before it, may say so for a while: the list of its tasks
        decides, and only after a time."""
        if followed.missing is None:
            followed.missing = time.monotonic()
        due = time.monotonic() - followed.missing >= min(self.polling.forgotten, self.polling.patience)
        if not (due or followed.cancel_requested) or not await self._is_forgotten(followed, client):
            await self._unanswered(followed, client, error)
            return
        reason = f"the TES {client.url} no longer knows the task: {error}"
        if followed.cancel_requested:
            await self.record.move(followed, replace(followed.task, state=TaskState.CANCELED, reason=reason))
        else:
            await self._ended_by_tes(followed, client, {}, FailureCause.SERVICE, TaskState.SYSTEM_ERROR, reason)

    async def _is_forgotten(self, followed: FollowedTask, client: TesClient) -> bool:
        try:
            tes_id = await client.find(followed.task.id, followed.task.submission)
        except (TesUnreachable, TesRefused):
            return False
        if tes_id is not None and tes_id != followed.task.tes_id:
            await self.submission.accepted(followed, client, tes_id)
        return tes_id is None

    async def _send_cancel(self, followed: FollowedTask, client: TesClient) -> None:
        sent = followed.cancelled
        if not followed.cancel_requested or (sent is not None and time.monotonic() - sent < self.polling.cancel_again):
            return
        try:
            await client.cancel(followed.task.tes_id or "")
        except (TesForgot, TesRefused) as error:
            # It may have ended a moment ago; the look that follows tells.
            log.info("the TES refused to cancel", action="cancel", task_id=followed.task.id, problem=str(error))
        followed.cancelled = time.monotonic()
        self.poller(client).look_often(followed)

    async def _refresh(
        self, followed: FollowedTask, client: TesClient, reported: TaskState | None, *, is_live: bool
    ) -> None:
        """Takes over what the TES tells: all of it where the task has begun to run or has ended, or its log is shown
        live."""
        before = followed.task.state
        state = before if reported is None else next_state(before, reported)
        if is_live or state in TASK_TERMINAL or (state is TaskState.RUNNING and state is not before):
            document = await self.transfer.view(followed.task, client, View.FULL)
            state = next_state(before, state_of(document))
            await self._take_over(followed, client, document, state)
        elif state is not before:
            await self.record.move(followed, replace(followed.task, state=state))

    async def _take_over(self, followed: FollowedTask, client: TesClient, document: TesTask, state: TaskState) -> None:
        if state in {TaskState.SYSTEM_ERROR, TaskState.PREEMPTED} and not followed.cancel_requested:
            cause = failure_cause(followed.task, state, document)
            await self._ended_by_tes(followed, client, document, cause, state, "")
            return
        after = await self.transfer.kept(followed, client, _with_document(followed.task, document, state))
        if after.state is TaskState.CANCELED and followed.overtime:
            after = replace(after, state=TaskState.EXECUTOR_ERROR, reason=followed.overtime)
        await self.reuse.note_outputs(followed, after)
        if after != followed.task:
            await self.record.move(followed, after)

    async def _ended_by_tes(
        self,
        followed: FollowedTask,
        client: TesClient,
        document: TesTask,
        cause: FailureCause,
        state: TaskState,
        reason: str,
    ) -> None:
        """The TES ended the task, or has it no more: it is sent again where that may help."""
        if cause is not FailureCause.TASK and followed.task.submission < self.polling.submissions:
            await self._send_again(followed, document, state, reason)
            return
        if cause is FailureCause.SERVICE:
            cause_text = reason or f"the TES ended it in {state.value}"
            times = f" (sent {followed.task.submission} times)" if followed.task.submission > 1 else ""
            followed.failure = f"the task {followed.task.name!r} was lost: {cause_text}{times}"
        after = replace(_with_document(followed.task, document, state), reason=reason or followed.task.reason)
        after = await self.transfer.kept(followed, client, after)
        await self.record.move(followed, after, self.record.cancels(followed) if reason else ())

    async def _send_again(self, followed: FollowedTask, document: TesTask, state: TaskState, reason: str) -> None:
        number, task = followed.task.submission, followed.task
        cause = reason or f"it ended in {state.value} on the TES {task.tes_url}"
        logs = lost_logs(without_early_exit_codes(document), number, f"{cause}; task {task.tes_id}: sent again")
        document = with_earlier([*earlier_logs(task.document), *logs], {})
        after = replace(task, state=TaskState.QUEUED, tes_url=None, tes_id=None, document=document)
        # What a TES forgot it may remember, where another one answers for it meanwhile.
        await self.record.move(followed, after, self.record.cancels(followed) if reason else ())
        self.note(f"The task {task.name!r} ({task.id}) is sent again, as {cause}.")
        followed.client, followed.missing, followed.running = None, None, None
        await asyncio.to_thread(drop_streams, followed.live)
        await followed.wait(self.polling.resend * 10 ** (number - 1))


def _seconds_to_next_look(followed: FollowedTask, to_log: float | None, left: float | None) -> float | None:
    """None where nothing is to be done before the TES tells something new."""
    if followed.cancel_requested:
        return max(CLOSING_SECONDS, min(LONGEST_PAUSE, followed.seconds_unanswered() / 2))
    return min((seconds for seconds in (to_log, left) if seconds is not None), default=None)


def _with_document(task: Task, document: TesTask, state: TaskState) -> Task:
    earlier = earlier_logs(task.document)
    return replace(task, state=state, document=with_earlier(earlier, without_early_exit_codes(document)))
