package sqlstore

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// localFile refuses the network file systems that the kernel names.
func localFile(f *os.File) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("look at the file system: %w", err)
	}
	if networkFS(uint32(st.Type)) {
		return ErrNetworkFile
	}
	return nil
}

func networkFS(magic uint32) bool {
	const ceph, lustre, smb2, cifs = 0x00c36400, 0x0bd00bd0, 0xfe534d42, 0xff534d42
	switch magic {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.AFS_SUPER_MAGIC, unix.CODA_SUPER_MAGIC, ceph, lustre, smb2, cifs:
		return true
	}
	return false
}
