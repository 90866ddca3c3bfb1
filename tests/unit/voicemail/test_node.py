import asyncio

from voicemail.node import end_tasks


async def test_a_task_that_swallows_its_first_cancellation_ends_all_the_same():
    cancelled = 0

    async def stubborn() -> None:
        nonlocal cancelled
        while cancelled < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end_tasks({task}, again=0.01)
    assert task.done() and cancelled == 2
