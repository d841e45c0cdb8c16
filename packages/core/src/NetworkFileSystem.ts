/**
 * File systems on which some processes would not see the locks or the shared memory of others, as SQLite needs.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs"

/**
 * The name of the network file system that a folder is on, or `undefined` if it is on a local one, as far as is known. Throws if there is no
 * such folder.
 *
 * @since 0.1.0
 * @category accessors
 * @example
 * import * as NetworkFileSystem from "@airflow-resource/core/NetworkFileSystem"
 *
 * console.log(NetworkFileSystem.of("/home") ?? "on a local disk")
 */
export const of = (folder: string): string | undefined => nameOf(fs.statfsSync(folder).type)

/**
 * The name of a network file system by its type, as Linux's `statfs` returns it.
 *
 * @since 0.1.0
 * @category accessors
 * @example
 * import * as NetworkFileSystem from "@airflow-resource/core/NetworkFileSystem"
 *
 * console.log(NetworkFileSystem.nameOf(0x6969)) // NFS
 */
export const nameOf = (type: number): string | undefined => names.get(type >>> 0)

// internal

const names: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB2"],
  [0x01021997, "9P"],
  [0x65735546, "FUSE"],
  [0x5346414f, "AFS"],
  [0x6b414653, "AFS"],
  [0x73757245, "Coda"],
  [0x564c, "NCP"],
  [0x00c36400, "Ceph"],
  [0x0bd00bd0, "Lustre"],
  [0x47504653, "GPFS"],
  [0x01161970, "GFS2"],
  [0x7461636f, "OCFS2"],
  [0xaad7aaea, "PanFS"],
  [0x19830326, "BeeGFS"],
  [0x786f4256, "a VirtualBox shared folder"],
  [0xbacbacbc, "a VMware shared folder"],
  [0x7c7c6673, "a Parallels shared folder"]
])
