@echo off
rem Starts the stack with Docker Desktop. The native way and other numbers of replicas need ./start.sh, which runs in WSL.
setlocal
cd /d "%~dp0"
docker compose version >nul 2>&1 || (echo Docker with Compose is needed. Without it, use WSL: wsl ./start.sh & exit /b 1)
docker info >nul 2>&1 || (echo Docker does not answer: start Docker Desktop. Without it, use WSL: wsl ./start.sh & exit /b 1)

if exist .env goto have_env
rem Random secrets where .env.example leaves a *_PASSWORD or *_TOKEN empty, and a name of its own for this clone's containers and volumes.
powershell -NoProfile -ExecutionPolicy Bypass -Command "$ErrorActionPreference = 'Stop'; $rng = [Security.Cryptography.RandomNumberGenerator]::Create(); $lines = foreach ($line in [IO.File]::ReadAllLines('.env.example')) { if ($line -match '_(PASSWORD|TOKEN)=$') { $b = New-Object byte[] 24; $rng.GetBytes($b); $line + [BitConverter]::ToString($b).Replace('-', '').ToLower() } elseif ($line -eq 'COMPOSE_PROJECT_NAME=') { $b = New-Object byte[] 4; $rng.GetBytes($b); $line + 'tandem-' + [BitConverter]::ToString($b).Replace('-', '').ToLower() } else { $line } }; [IO.File]::WriteAllText('.env', ($lines -join [char]10) + [char]10)" || exit /b 1
echo Made .env with random secrets.
:have_env
for /f "usebackq eol=# tokens=1,* delims==" %%a in (".env") do (
  if "%%a"=="HTTP_PORT" if not defined HTTP_PORT set "HTTP_PORT=%%b"
  if "%%a"=="DEBUG_PORT_BASE" if not defined DEBUG_PORT_BASE set "DEBUG_PORT_BASE=%%b"
  if "%%a"=="PROMETHEUS_PORT" if not defined PROMETHEUS_PORT set "PROMETHEUS_PORT=%%b"
  if "%%a"=="GRAFANA_PORT" if not defined GRAFANA_PORT set "GRAFANA_PORT=%%b"
  if "%%a"=="REPLICAS" if not defined REPLICAS set "REPLICAS=%%b"
)
if not "%REPLICAS%"=="2" (echo REPLICAS=%REPLICAS%: only 2 work here; for other numbers use WSL: wsl ./start.sh & exit /b 1)
set /a DEBUG_PORT_1=DEBUG_PORT_BASE + 1
set /a DEBUG_PORT_2=DEBUG_PORT_BASE + 2

if "%~1"=="" goto up
if "%~1"=="up" goto up
if "%~1"=="status" (docker compose ps -a & exit /b)
if "%~1"=="logs" (docker compose logs --tail 100 %2 %3 & exit /b)
echo start.bat [up ^| status ^| logs [service] [-f]]
exit /b 2

:up
docker compose up -d --build --remove-orphans --wait || (echo Not everything became healthy: start.bat logs & exit /b 1)
echo Ready: http://localhost:%HTTP_PORT%   documentation http://localhost:%HTTP_PORT%/docs
echo Replicas: http://localhost:%DEBUG_PORT_1%   http://localhost:%DEBUG_PORT_2%
echo Prometheus: http://localhost:%PROMETHEUS_PORT%   Grafana: http://localhost:%GRAFANA_PORT% (user admin, password: GRAFANA_PASSWORD in .env)
