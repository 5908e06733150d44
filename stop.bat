@echo off
rem Stops the stack. The data stays; --volumes removes it too.
setlocal
cd /d "%~dp0"
if "%~1"=="" (docker compose --profile * down --remove-orphans & exit /b)
if "%~1"=="--volumes" (
  echo Removing the data for good: the volumes tandem_postgres and tandem_pgadmin
  docker compose --profile * down --remove-orphans --volumes
  exit /b
)
echo stop.bat [--volumes]
exit /b 2
