@echo off
rem Stops the stack. The data stays; --volumes removes it too.
setlocal
cd /d "%~dp0"
if "%~1"=="" (docker compose --profile * down --remove-orphans & exit /b)
set "PROJECT=tandem"
if exist .env for /f "usebackq eol=# tokens=1,* delims==" %%a in (".env") do if "%%a"=="COMPOSE_PROJECT_NAME" if not "%%b"=="" set "PROJECT=%%b"
if "%~1"=="--volumes" (
  echo Removing the data of this clone for good: the volumes of the Docker project %PROJECT%
  docker volume ls --filter "label=com.docker.compose.project=%PROJECT%"
  docker compose --profile * down --remove-orphans --volumes
  exit /b
)
echo stop.bat [--volumes]
exit /b 2
