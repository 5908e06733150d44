"""FastAPI as its documentation has it: pydantic models, asyncpg, redis.asyncio, metrics, uvicorn's access log, cache-aside.

No write is idempotent, and a reader can store a value that a write has just replaced.
"""

import os
from contextlib import asynccontextmanager
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import asyncpg
from fastapi import FastAPI, HTTPException, Path, Response
from prometheus_fastapi_instrumentator import Instrumentator
from pydantic import BaseModel, Field
from redis.asyncio import Redis

INSTANCE_NAME = os.environ["INSTANCE_NAME"]
TTL_SECONDS = 60
COLUMNS = "id, title, description, status, created_at, updated_at"


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], max_size=10)
    app.state.redis = Redis.from_url(os.environ["REDIS_URL"])
    yield
    await app.state.pool.close()
    await app.state.redis.aclose()


app = FastAPI(lifespan=lifespan)
Instrumentator().instrument(app).expose(app)


class Status(StrEnum):
    pending = "pending"
    in_progress = "in_progress"
    completed = "completed"


Title = Annotated[str, Field(min_length=1, max_length=200)]
Description = Annotated[str | None, Field(max_length=4000)]


class NewTask(BaseModel):
    title: Title
    description: Description = None
    status: Status = Status.pending


class TaskChanges(BaseModel):
    title: Title | None = None
    description: Description = None
    status: Status | None = None


class Task(BaseModel):
    id: int
    title: str
    description: str | None
    status: str
    created_at: datetime
    updated_at: datetime


class Item(Task):
    id: UUID


class TaskReply(BaseModel):
    source: str
    task: Task


class TaskWritten(BaseModel):
    message: str
    task: Task


@app.get("/ping")
async def ping():
    return {"message": f"pong from {INSTANCE_NAME}", "instance": INSTANCE_NAME}


@app.get("/tasks/{task_id}")
async def read_task(task_id: Annotated[int, Path(ge=1)]) -> TaskReply:
    cached = await app.state.redis.get(f"task:{task_id}")
    if cached:
        return TaskReply(source="cache", task=Task.model_validate_json(cached))
    row = await app.state.pool.fetchrow(f"SELECT {COLUMNS} FROM tasks WHERE id = $1", task_id)
    if row is None:
        raise HTTPException(404, "There is no task with this id")
    task = Task(**row)
    await app.state.redis.set(f"task:{task_id}", task.model_dump_json(), ex=TTL_SECONDS)
    return TaskReply(source="database", task=task)


@app.post("/tasks", status_code=201)
async def create_task(task: NewTask, response: Response) -> TaskWritten:
    row = await app.state.pool.fetchrow(
        f"INSERT INTO tasks (title, description, status) VALUES ($1, $2, $3) RETURNING {COLUMNS}",
        task.title,
        task.description,
        task.status,
    )
    await app.state.redis.delete("tasks")
    response.headers["Location"] = f"/tasks/{row['id']}"
    return TaskWritten(message="Task created successfully", task=Task(**row))


@app.put("/tasks/{task_id}")
async def change_task(task_id: Annotated[int, Path(ge=1)], changes: TaskChanges) -> TaskWritten:
    row = await app.state.pool.fetchrow(
        f"""UPDATE tasks SET title = COALESCE($2, title), description = COALESCE($3, description),
              status = COALESCE($4, status), updated_at = now() WHERE id = $1 RETURNING {COLUMNS}""",
        task_id,
        changes.title,
        changes.description,
        changes.status,
    )
    if row is None:
        raise HTTPException(404, "There is no task with this id")
    await app.state.redis.delete(f"task:{task_id}", "tasks")
    return TaskWritten(message="Task updated successfully", task=Task(**row))


@app.get("/items/{item_id}")
async def read_item(item_id: UUID) -> Item:
    row = await app.state.pool.fetchrow(f"SELECT {COLUMNS} FROM items WHERE id = $1", item_id)
    if row is None:
        raise HTTPException(404, "There is no item with this id")
    return Item(**row)
