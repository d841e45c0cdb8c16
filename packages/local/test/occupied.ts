/** An environment in which another process takes the port of Airflow's server, after it was chosen and before it is used. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Home from "./home.js"

const occupy = `
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
open(sys.argv[2], "w").close()
time.sleep(3600)
`

const port = Home.major === 2 ? "AIRFLOW__WEBSERVER__WEB_SERVER_PORT" : "AIRFLOW__API__PORT"

/** A folder in `home` that looks like the environment. It loses as many ports as `times`; each process ends with its Airflow. */
export const environment = (home: string, installed: string, times: number): string => {
  const folder = path.join(home, "environment")
  if (fs.existsSync(folder)) return folder
  fs.mkdirSync(path.join(folder, "bin"), { recursive: true })
  fs.mkdirSync(takenOf(home))
  fs.copyFileSync(path.join(installed, "seed.db"), path.join(folder, "seed.db"))
  fs.symlinkSync(path.join(installed, "bin", "airflow"), path.join(folder, "bin", "airflow"))
  const python = path.join(installed, "bin", "python")
  const script = `#!/bin/sh
case "$1" in *zygote.py) exit 1 ;; esac
if [ "$2" = ${Home.webserver} ] && [ "$(ls '${takenOf(home)}' | wc -l)" -lt ${times} ]; then
  file="${takenOf(home)}/$${port}"
  '${python}' -c '${occupy}' "$${port}" "$file" &
  while [ ! -e "$file" ]; do sleep 0.1; done
fi
exec '${python}' "$@"
`
  fs.writeFileSync(path.join(folder, "bin", "python"), script, { mode: 0o700 })
  return folder
}

/** The ports that it has lost. */
export const ports = (home: string): ReadonlyArray<string> => fs.readdirSync(takenOf(home))

// internal

const takenOf = (home: string) => path.join(home, "taken")
